"""The words of the field and the picture of a volume group: pure values, no input or output.

Our own words, as every other package uses them:

- *volume*: one virtual disk. It consists of one or more logical volumes.
- *layer*: one logical volume of a volume: the current one, which the guest writes to, or a snapshot.
- *chain*: the current layer and all that it reads through: each layer is the backing file of the one before it.
- *base*: a layer of another volume that a linked clone reads through.
- *picture*: what LVM, ``/dev`` and the image headers show of a volume group at one moment (`lvmqcow.core.group`).
- *intent*: the record of a running operation, as a tag on a logical volume (`lvmqcow.core.intents`).
- *index tags*: tags that repeat what an image's header says (`lvmqcow.core.lv`).
- *cut*: an operation that was interrupted, by a failure, a kill or a power loss. Recovery finishes or undoes it.
- *pull* and *push*: the two ways to delete a snapshot; libvirt calls them blockpull and blockcommit
  (`lvmqcow.operations.delete`).
"""
