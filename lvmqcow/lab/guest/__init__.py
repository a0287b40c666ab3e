"""The part of the lab that runs inside it, as process 1.

It imports nothing but the standard library and its own siblings, and uses relative imports only:
inside the lab it is loaded as the top-level package `guest`, so that booting does not pay for
importing the rest of lvmqcow.

    uml, direct   build the world COMMAND sees: mounts, devices, LVM's directories
    agent         runs COMMAND there, moves its streams and signals, reports its exit status
    job, wire     what the two sides tell each other
"""
