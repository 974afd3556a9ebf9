"""*Group Crosscoders* (Gorton 2024, arXiv 2410.24184), notebooks 01 to 05."""
