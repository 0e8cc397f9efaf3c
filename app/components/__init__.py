"""Custom Vue elements, each with its `.js` beside it."""
