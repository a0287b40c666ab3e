"""Code that several operations share: plans, refusals, common steps, removal, more room, devices."""
