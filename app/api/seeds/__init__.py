"""The APIs of four older queues in front of models, one module each, so that their clients work here unchanged."""
