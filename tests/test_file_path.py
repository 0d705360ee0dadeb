"""Paths that are judged when they are configured, while other processes write there."""

from __future__ import annotations

import os

from time_execution import file_path


def test_a_file_that_is_turned_over_meanwhile_is_no_obstacle(tmp_path, monkeypatch):
    """Between a look at it and the question whether it may be written to, another process may rename it."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("")
    access = os.access

    def too_late(found, *args, **options):
        path.unlink(missing_ok=True)
        return access(found, *args, **options)

    monkeypatch.setattr(os, "access", too_late)
    monkeypatch.setattr(os, "supports_effective_ids", {too_late})
    assert file_path.obstacle_to(path) is None


def test_a_file_that_vanishes_before_it_is_asked_for_its_device_is_no_obstacle(tmp_path, monkeypatch):
    """Nor when it goes a moment earlier."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("")
    is_kernels = file_path._is_kernels

    def too_late(found):
        path.unlink()
        return is_kernels(found)

    monkeypatch.setattr(file_path, "_is_kernels", too_late)
    assert file_path.obstacle_to(path) is None
