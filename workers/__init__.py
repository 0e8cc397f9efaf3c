"""Workers: processes that run jobs on a language-model engine and stream the tokens back."""
