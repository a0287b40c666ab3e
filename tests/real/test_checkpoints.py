"""A checkpoint restores a real volume group: every byte, name and tag, and the activation of each LV."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lvmqcow.operations import DeleteSnapshot, Merge, Remove
from lvmqcow.steps import LvDeactivate
from lvmqcow.testing.cases.scenarios import DISK, MIB, chain, contents, half_active
from lvmqcow.testing.cases.starts import Starts, starts
from lvmqcow.testing.content import Write

pytestmark = pytest.mark.lvmqcow_real


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    with starts("checkpoints", tmp_path_factory.mktemp("checkpoints"), {}, 256 * MIB) as made:
        yield made


def test_checkpoint_restores_changed_and_removed_volumes(real: Starts) -> None:
    real.build(chain(2).history)
    world, taken = real.world, real.checkpoints.take()
    pictured, holds = world.storage.picture(), contents(chain(2))
    world.storage.apply(DeleteSnapshot(DISK, "s1", Merge.PUSH))
    world.write(DISK.text, DISK.format, [Write(0, 8, 0xEE)])
    assert real.checkpoints.take().key != taken.key
    world.storage.apply(Remove(DISK))
    real.checkpoints.put_back(taken)
    assert world.storage.picture() == pictured
    assert real.checkpoints.take().key == taken.key
    for snapshot, content in holds.items():
        lv = pictured.volume(DISK).snapshot(snapshot).lv.name if snapshot else DISK.text
        assert world.difference(lv, DISK.format, content) is None
    assert world.storage.check() == ()
    assert world.leftovers() == ()


def test_checkpoint_restores_activation_or_none_after_power_loss(real: Starts) -> None:
    real.build(half_active(chain(1)).history)
    taken = real.checkpoints.take()
    assert taken.active
    assert DISK.text not in taken.active
    world = real.world
    with world.readable():
        world.write(DISK.text, DISK.format, [Write(0, 8, 0xEE)])
    real.checkpoints.put_back(taken)
    assert real.checkpoints.take().key == taken.key
    real.checkpoints.put_back(taken.without_power())
    assert real.checkpoints.take().active == ()


def test_state_key_changes_with_any_block_tag_or_activation(real: Starts) -> None:
    real.build(chain(1).history)
    world, taken = real.world, real.checkpoints.take()
    assert real.checkpoints.take().key == taken.key
    world.host.run(LvDeactivate((DISK.text,)))
    assert real.checkpoints.take().key != taken.key
    real.checkpoints.put_back(taken)
    world.write(DISK.text, DISK.format, [Write(1023, 1, 1)])
    assert real.checkpoints.take().key != taken.key
