"""State dicts and folds of models in torch's wrappers: translated, or refused by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from wnrepro.nn import WeightNormLinear, convert, fold, torch_state_dict

# Torch's compiler looks at the input of a compiled layer inside a model.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def network() -> nn.Sequential:
    shared = nn.Linear(4, 4)
    inner = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Linear(4, 4), nn.Linear(4, 4))
    return nn.Sequential(inner, shared, nn.ReLU(), shared)


def inner_checkpointed(model: Any) -> nn.Module:
    model[0] = checkpoint_wrapper(model[0])
    model[0]._checkpoint_wrapped_module[1] = checkpoint_wrapper(model[0][1])
    return model


def inner_compiled(model: Any) -> nn.Module:
    model[0][1] = torch.compile(model[0][1], backend="eager")
    return model


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def with_hook(model: nn.Module) -> nn.Module:
    """As those that gather or offload: the state dict has copies."""
    model._register_state_dict_hook(
        lambda module, state, prefix, _: state.update(
            {key: value.clone() for key, value in state.items()}
        )
    )
    return model


WRAPPERS = {
    "checkpoint_wrapper": checkpoint_wrapper,
    "inside": inner_checkpointed,
    "compile": lambda model: torch.compile(model, backend="eager"),
    "compile inside": inner_compiled,
    "compile in place": compiled_in_place,
    "AveragedModel": AveragedModel,
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": DistributedDataParallel,
    "copies": with_hook,
}


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_the_state_dict_of_a_wrapped_model_is_that_of_the_plain_model_wrapped_so(wrap):
    ours, plain, x = wrap(convert(network())), wrap(network()), torch.randn(3, 2, 4)
    state = torch_state_dict(ours)
    assert list(state) == list(plain.state_dict())
    assert not any(tensor.requires_grad for tensor in state.values())
    plain.load_state_dict(state, strict=True)
    torch.testing.assert_close(plain(x), ours(x))


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_a_wrapped_model_is_converted_and_folded_or_refused_by_name(wrap):
    model, x = wrap(network()), torch.randn(3, 2, 4)
    expected = model(x)
    if isinstance(model, DistributedDataParallel):
        for change in (convert, fold):
            with pytest.raises(
                ValueError,
                match=r"^DistributedDataParallel .*take the \.module",
            ):
                change(model)
        model = model.module
    for change in (convert, fold):
        change(model)
        torch.testing.assert_close(model(x), expected)
        converted = [m for m in model.modules() if isinstance(m, WeightNormLinear)]
        assert len(converted) == (3 if change is convert else 0)
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.usefixtures("process_group")
def test_a_sharded_model_is_refused_by_name_and_its_state_dict_translated():
    model, x = convert(network()), torch.randn(3, 2, 4)
    expected = model(x)
    mesh = init_device_mesh("cpu", (1,))
    fully_shard(model[1], mesh=mesh)
    fully_shard(model, mesh=mesh)
    model(x)  # leaves the parameters of the root whole
    for change in (convert, fold):
        with pytest.raises(ValueError, match=r"^FSDPSequential would go on .*before wrap"):
            change(model)
    plain = network()
    for key, value in torch_state_dict(model).items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        plain.state_dict()[key].copy_(whole)
    torch.testing.assert_close(plain(x), expected)


def test_parameters_that_the_state_dict_does_not_have_are_refused_by_name():
    model = convert(network())
    model._register_state_dict_hook(lambda module, state, prefix, _: state.__delitem__("1.g"))
    with pytest.raises(ValueError, match=r"^'1' \(WeightNormLinear\): its v and g are not in"):
        torch_state_dict(model)
