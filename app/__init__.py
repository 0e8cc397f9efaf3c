"""The app: the desk in the browser and the HTTP APIs."""
