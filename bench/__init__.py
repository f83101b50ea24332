"""What `make bench` runs: figures as ratios to a floor that is measured in the same run."""
