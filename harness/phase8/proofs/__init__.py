"""Proofs of what the harness rests on, beside the product: nothing else imports them."""
