"""The list of conversations: folders and pins, search, export and import."""
