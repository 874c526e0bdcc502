"""The data-dependent init of a model that is spread over processes or devices."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed._composable.replicate import replicate
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DataParallel, DistributedDataParallel

from wnrepro.nn import MeanOnlyBatchNorm1d, WeightNormLinear, data_dependent_init

# What torch's sharding says by itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:FSDP"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

State = dict[str, Tensor]
SIZES = (17, 60)
"""Examples of the two processes."""


class DenseReLU(WeightNormLinear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(DenseReLU(5, 6), nn.BatchNorm1d(6).eval(), WeightNormLinear(6, 4)).double()


def examples() -> tuple[Tensor, ...]:
    """Those of each process; their means differ."""
    torch.manual_seed(1)
    x = torch.randn(sum(SIZES), 5, dtype=torch.float64).cumsum(0)
    return x.split(SIZES)


def process_group(rank: int, store: distributed.Store) -> distributed.ProcessGroup:
    gloo = distributed.ProcessGroupGloo(store, rank, 2, timedelta(seconds=60))
    group = distributed.ProcessGroup(store, rank, 2)
    group._set_default_backend(distributed.ProcessGroup.BackendType.GLOO)
    group._register_backend(torch.device("cpu"), distributed.ProcessGroup.BackendType.GLOO, gloo)
    return group


def train_together(
    rank: int, store: distributed.Store, model: nn.Module, x: Tensor
) -> tuple[list[str], State, State, list[str]]:
    """One of two processes: init and one step, and what is then in the model."""
    ddp = DistributedDataParallel(model, process_group=process_group(rank, store))
    names = data_dependent_init(ddp, x)
    start = copy.deepcopy(model.state_dict())
    ddp(x).square().mean().backward()
    torch.optim.SGD(ddp.parameters(), 0.1).step()
    after = copy.deepcopy(model.state_dict())
    errors = []
    for batch in (torch.ones(10, 5) * (rank + 1), torch.ones(10, 5)):  # constant in each, or in all
        try:
            data_dependent_init(ddp, batch.double())
        except ValueError as error:
            errors.append(str(error))
    return names, start, after, errors


def test_processes_take_the_statistics_of_all_their_examples() -> None:
    """Two threads stand for the processes: they share no more than a process group."""
    store = distributed.HashStore()
    models = [network(), network()]
    with ThreadPoolExecutor(2) as threads:
        zero, one = threads.map(train_together, range(2), (store, store), models, examples())
    alone = network()
    assert data_dependent_init(alone, torch.cat(examples())) == ["0", "2"]
    for names, start, after, errors in (zero, one):
        assert names == ["module.0", "module.2"]
        for key, expected in alone.state_dict().items():
            torch.testing.assert_close(start[key], expected, rtol=1e-9, atol=1e-9)
            assert torch.equal(start[key], zero[1][key])
            assert torch.equal(after[key], zero[2][key])
        (error,) = errors  # none where each process has its own value
        assert "unit 0 of layer 'module.0' has variance 0 on this batch (20 values" in error


@pytest.fixture
def one_process() -> Iterator[None]:
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def layers() -> nn.Sequential:
    return nn.Sequential(WeightNormLinear(5, 6, bias=False), MeanOnlyBatchNorm1d(6), nn.ReLU())


def shard_each_layer() -> nn.Module:
    model = layers()
    fully_shard(model[0])
    return model


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (shard_each_layer, "0.v is sharded .*initialise the model first and wrap it afterwards"),
        (lambda: fully_shard(layers()), "is sharded .*initialise the model first and wrap"),
        (lambda: replicate(layers()), "replicated .*: initialise the model first and wrap"),
        (
            lambda: FullyShardedDataParallel(layers(), device_id=torch.device("cpu")),
            "sharded by FSDP .*: initialise the model first and wrap",
        ),
        (
            lambda: FullyShardedDataParallel(
                layers(), device_id=torch.device("cpu"), use_orig_params=True
            ),
            "sharded by FSDP .*: initialise the model first and wrap",
        ),
    ],
    ids=["fully_shard, layers", "fully_shard, root", "replicate", "FSDP1", "FSDP1, original"],
)
def test_a_sharded_model_is_refused(make, message: str) -> None:
    model = make()
    for part in (model, nn.Sequential(model), getattr(model, "module", model)):
        with pytest.raises(ValueError, match=message):
            data_dependent_init(part, torch.randn(30, 5))


@pytest.mark.usefixtures("one_process")
def test_a_part_of_what_trains_on_several_processes_is_refused() -> None:
    ddp = DistributedDataParallel(layers())
    for part in (ddp.module, ddp.module[0], nn.Sequential(ddp.module)):
        with pytest.raises(ValueError, match="inside a DistributedDataParallel: initialise that"):
            data_dependent_init(part, torch.randn(30, 5))
    for whole in (ddp, nn.Sequential(ddp), layers()):
        assert len(data_dependent_init(whole, torch.randn(30, 5))) == 1


def test_what_has_no_values_here_is_refused() -> None:
    model = layers()
    model[0].to("meta")
    with pytest.raises(ValueError, match=r"0\.v has no values here .*load the whole model"):
        data_dependent_init(model, torch.randn(30, 5))


def test_a_model_that_splits_its_batch_is_refused() -> None:
    model = DataParallel(layers())
    model.device_ids = [0, 1]
    with pytest.raises(ValueError, match=r"initialise its \.module instead"):
        data_dependent_init(model, torch.randn(30, 5))
