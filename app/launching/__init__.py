"""From a fresh machine to a running Corral: the environment, the checks, and the processes."""
