"""A world for the core, made from one seed: clock, network, disk, workers, clients, and a checker of all promises."""
