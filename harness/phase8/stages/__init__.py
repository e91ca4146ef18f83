"""A profile's steps: what each is made from, and how, in the order data flows."""
