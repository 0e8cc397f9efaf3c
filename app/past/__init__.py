"""Every job there was: what is asked for, how it is read from the queue, how it is shown and taken away."""
