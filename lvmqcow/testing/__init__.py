"""The harness: what our own tests and those of library consumers share. Needs ``lvmqcow[testing]``.

content      what a guest's disk holds, as the model keeps it
sim          `SimHost`, a volume group in memory
worlds       the simulated and the real world, behind one interface
checkpoints  a real volume group, put back as it was
cuts         every cut of a plan, and of its recovery, on a real volume group
kills        SIGKILL inside a long step, at a moment of one's choice
strategies   what Hypothesis draws
machine      the state machine that runs in either world
hostile      images that lead out of themselves, ask for too much, or are not what they look like
canary       a file that nobody may open, and who did
blocklog     what a disk was told, and what it may hold when the power goes
replay       record what is written to a real disk, and put a state of it back
remembered   a host that asks qemu-img about the same bytes only once
profiles     how much to try
plugin       the pytest plugin: ``--require-lab``, fixtures, markers
"""
