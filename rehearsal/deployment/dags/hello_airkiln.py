"""The example that a rehearsal runs: a handful of tasks through Celery, one of them mapped."""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None, catchup=False, tags=["example"])
def hello_airkiln() -> None:
    """Split a sentence, greet each word on whichever worker is free, and count what came back."""

    @task
    def split() -> list[str]:
        return ["baked", "once", "and", "booted", "everywhere"]

    @task
    def greet(word: str) -> str:
        return f"hello, {word}"

    @task.bash
    def where(greetings: list[str]) -> str:
        said = f'print({len(greetings)}, "greetings from", platform.node())'
        return f"python -c 'import platform; {said}'"

    where(greet.expand(word=split()))


hello_airkiln()
