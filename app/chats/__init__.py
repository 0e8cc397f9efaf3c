"""Chatting: conversations, their questions and answers, and what belongs to them."""
