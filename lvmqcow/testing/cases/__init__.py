"""What the suites try: starts of a volume group, every operation on them, and what each must make of them."""
