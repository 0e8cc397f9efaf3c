"""The commands of ``run.py`` beside the start itself. Each module is loaded only when its command is used."""
