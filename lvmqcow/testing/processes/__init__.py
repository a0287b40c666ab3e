"""Several processes on one volume group, each logged, some of them killed."""
