"""QEMU as a tool: qemu-img, qemu-nbd, and which images may be opened."""
