"""What stands around and below every page: frame, palette, status bar, look and controls."""
