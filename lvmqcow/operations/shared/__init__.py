"""What several operations need: the plan, refusals, common steps, removal, room, devices."""
