"""Conversations as models read and write them: tool schemas, chat JSONL, tool-call formats."""
