"""Specimens: lvmqcow with one historic defect put back. A harness that finds none of them proves nothing."""
