"""Hostile images: what a guest, or a stranger, may hand to a program that opens disk images.

    python -m lvmqcow.testing.hostile DIRECTORY      # writes all of them

images              the table of specimens, and the qcow2 ones
qcow2_bytes         qcow2 images, field by field
containers, vhd     disks in the formats of other hypervisors
container_specimen  what these have in common
specimen            an image: its bytes, and what must happen to it
"""
