"""Ctrl-C waits until it is asked for."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.training.interrupts import Interrupts


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_two_are_noted_and_the_third_is_raised() -> None:
    with Interrupts() as interrupts:
        assert not interrupts.are_noted
        press()
        press()
        assert interrupts.are_noted
        with pytest.raises(KeyboardInterrupt):
            press()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_in_another_thread_all_stays_as_it_is() -> None:
    def handler() -> object:
        with Interrupts():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler).result() is signal.getsignal(signal.SIGINT)
