"""The harness: what our own tests and those of library consumers share. Needs ``lvmqcow[testing]``.

content      what a guest's disk holds, as the model keeps it
sim          `SimHost`, a volume group in memory
worlds       the simulated and the real world, behind one interface
strategies   what Hypothesis draws
machine      the state machine that runs in either world
profiles     how much to try
plugin       the pytest plugin: ``--require-lab``, fixtures, markers
"""
