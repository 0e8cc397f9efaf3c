"""Our own API: everything that the desk and the queue can do, with one resource model under ``/api/…``."""
