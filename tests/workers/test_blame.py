"""Whoever cannot be computed is found and fails alone; the others of the batch get their result."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.cascade import Cascade
from model.errors import DeviceLost
from model.text import TextEncoder
from tests.faults import memory_for
from workers.blame import Blame, attempt

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 12))
def test_each_gets_its_result_or_its_blame(faulty: list[bool], memory_for: int) -> None:
    """faulty: which items raise. memory_for: items at once."""
    batch = list(enumerate(faulty))

    def compute(part: Sequence[tuple[int, bool]]) -> Iterator[int]:
        if len(part) > memory_for:
            raise torch.OutOfMemoryError
        for number, is_faulty in part:
            if is_faulty:
                raise KeyError(number)
            yield 10 * number

    results = attempt("8", CPU, batch, compute)
    assert len(results) == len(batch)
    for (number, is_faulty), result in zip(batch, results, strict=True):
        if isinstance(result, Blame):
            assert result.code == ("stage_failed" if memory_for else "out_of_memory")
            assert is_faulty or not memory_for
        else:
            assert not is_faulty
            assert result == 10 * number


@pytest.fixture
def encoder(tiny_cascade: Path) -> TextEncoder:
    """With weights of its own, for a test to break."""
    return Cascade.load(tiny_cascade, "cpu,float32", stages=["text"]).text


def test_prompts_are_encoded_in_halves_as_memory_ends(encoder: TextEncoder) -> None:
    prompts = ["a cat", "a dog", "a red cat", "a red dog", "cat", "dog", "an apple", ""]
    expected = [encoder.encode([prompt])[0] for prompt in prompts]
    _, transformer = encoder._tokenizer_and_encoder()
    with memory_for(transformer, rows=2) as rows:
        encoded = attempt("text", encoder.device, prompts, encoder.encode)
    assert rows == [8, 4, 2, 2, 4, 2, 2]
    for result, alone in zip(encoded, expected, strict=True):
        assert not isinstance(result, Blame)
        torch.testing.assert_close(result, alone, rtol=0, atol=2e-3)


def test_a_prompt_whose_embedding_is_not_finite_fails_and_no_other(encoder: TextEncoder) -> None:
    prompts = ["a cat", "a dog", ""]
    expected = [encoder.encode([prompt])[0] for prompt in prompts]
    tokenizer, transformer = encoder._tokenizer_and_encoder()
    with torch.no_grad():
        transformer.shared.weight[tokenizer.convert_tokens_to_ids("dog")] = torch.inf
    cat, dog, empty = attempt("text", encoder.device, prompts, encoder.encode)
    assert isinstance(dog, Blame)
    assert dog.code == "not_finite"
    assert dog.message.startswith("stage text came to numbers that are not finite")
    for result, alone in ((cat, expected[0]), (empty, expected[2])):
        assert not isinstance(result, Blame)
        assert torch.equal(result, alone)


def raising(error: Exception) -> Callable[[Sequence[str]], list[str]]:
    def compute(batch: Sequence[str]) -> list[str]:
        raise error

    return compute


def too_much_for_any_machine(batch: Sequence[str]) -> list[str]:
    return [str(torch.empty(1 << 55)) for _ in batch]


@pytest.mark.parametrize(
    "compute",
    [
        too_much_for_any_machine,
        raising(MemoryError()),
        raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")),
        raising(torch.AcceleratorError("CUDA error: out of memory")),
        raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")),
        raising(RuntimeError("std::bad_alloc")),
    ],
)
def test_memory_ends_in_many_words(compute: Callable[[Sequence[str]], list[str]]) -> None:
    (blame,) = attempt("64", CPU, ["a"], compute)
    assert isinstance(blame, Blame)
    assert blame.code == "out_of_memory"
    assert "stage 64 ran out of memory" in blame.message


def test_a_message_says_no_more_than_users_may_know(caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("<Weights at 0x7f3a> of /srv/models are broken")
    (blame,) = attempt("64", CPU, ["a"], raising(error))
    assert isinstance(blame, Blame)
    assert blame.message == "stage 64 failed (RuntimeError): the worker's log has the details"
    assert "/srv/models" in caplog.text
    assert "Traceback" in caplog.text


def test_what_a_failed_batch_held_is_freed_before_a_smaller_one_is_tried() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def compute(batch: Sequence[str]) -> Sequence[str]:
        assert not any(tensor() is not None for tensor in held)
        activations = torch.zeros(len(batch))
        held.append(weakref.ref(activations))
        if len(batch) > 1:
            raise torch.OutOfMemoryError
        return batch

    assert attempt("64", CPU, ["a", "b", "c"], compute) == ["a", "b", "c"]


def test_a_gpus_cache_is_emptied_before_a_smaller_batch_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: events.append("emptied"))

    def compute(batch: Sequence[str]) -> Sequence[str]:
        events.append("".join(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError
        return batch

    assert attempt("64", CUDA, ["a", "b"], compute) == ["a", "b"]
    assert events == ["ab", "emptied", "a", "b"]


def test_a_device_that_reports_an_error_itself_is_lost() -> None:
    error = torch.AcceleratorError("CUDA error: device-side assert triggered")
    with pytest.raises(DeviceLost, match="stage 64: cuda is lost: CUDA error: device-side"):
        attempt("64", CUDA, ["a", "b"], raising(error))


@pytest.mark.parametrize("answers", [True, False])
def test_after_an_error_of_a_library_the_device_is_asked(
    monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    def synchronize(device: torch.device) -> None:
        if not answers:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.accelerator, "synchronize", synchronize)
    compute = raising(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"))
    if answers:
        (blame,) = attempt("64", CUDA, ["a"], compute)
        assert isinstance(blame, Blame)
        assert blame.code == "stage_failed"
    else:
        with pytest.raises(DeviceLost):
            attempt("64", CUDA, ["a"], compute)
