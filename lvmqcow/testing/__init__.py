"""The harness: what our own tests and those of library consumers share. Needs ``lvmqcow[testing]``.

machine        the state machine: random operations, in the simulated and in the real world
sequences      runs the machine, as the Hypothesis profile says
worlds         the simulated and the real world, behind one interface
content        what a guest's disk holds, as the model keeps it
strategies     what Hypothesis draws
simulated      `SimHost`, a volume group in memory
crash          cuts of a plan and of its recovery, killed tools, disk errors, power loss
hostile        images that lead out of themselves, ask for too much, or are not what they look like
canary         a file that nothing may open, and what did
caching_host   a host that asks qemu-img about the same bytes only once
profiles       how much to try
pytest_plugin  ``--lvmqcow-require-lab``, fixtures, a marker
"""
