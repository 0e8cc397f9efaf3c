"""All machines with their workers, models and errands: one custom element, fed with what changed."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n, machines
from app.machines import State


class MachineBoard(ui.element, component='machine_board.js', esm={'corral-machines': 'machines'}):
    """Shows a ``State`` of ``app.machines``; ``show`` sends only the difference to the one before.

    ``on_act(action, **what)`` is what the user wants done, see ``app.pages.workers``. In its default slot is what
    stands there while no worker is connected.
    """

    def __init__(self, state: State, *, on_act: Callable[[str, dict[str, Any]], Any]) -> None:
        super().__init__()
        self._props['state'] = {**state, 'version': 0}
        _labels(self)
        self.on('act', lambda event: on_act(str(event.args[0]), dict(event.args[1])))
        self.on('gap', self.update)

    def show(self, state: State) -> None:
        """Show ``state``; costs nothing when nothing but the time differs."""
        before: State = self._props['state']
        patch = machines.difference(before, state)
        if not patch:
            return
        version = before['version'] + 1
        with self._props.suspend_updates():
            self._props['state'] = {**state, 'version': version}  # what a browser gets that shows it anew
        self.run_method('patch', {**patch, 'now': state['now'], 'version': version})

    def settle(self, key: str) -> None:
        """What was wanted is done or refused: its button works again."""
        self.run_method('settle', key)

    def open_pull(self) -> None:
        """Ask which model to pull."""
        self.run_method('askPull', '')

    def open_join(self, offer: State) -> None:
        """Show how to add a machine."""
        self.run_method('askJoin', offer)


def _labels(board: MachineBoard) -> None:
    i18n.labels(
        board,
        cpu='CPU',
        memory='Memory',
        gpu='GPU',
        gpu_memory='GPU memory',
        cores='{n} cores',
        one_core='1 core',
        slots='{busy} of {slots} slots busy',
        free='{n} free',
        one_free='1 free',
        workers='Workers',
        models='Models',
        in_memory='{n} in memory',
        engine_ollama='Ollama',
        engine_demo='Demo engine',
        shares='uses the engine at {place}',
        demo_note='Canned answers. Models here are only played; nothing is downloaded.',
        works='Ready',
        working='Working',
        paused='Paused',
        pausing='Paused, finishes what runs',
        leaving='Leaving',
        leaving_hint='It takes nothing new and ends when its jobs have.',
        unreachable='Engine unreachable',
        unreachable_hint='Ollama does not answer on that machine. Start it there; it is picked up by itself.',
        no_models='No models',
        no_models_hint='This engine has no model yet. Pull one.',
        breaker_open='Out of order',
        breaker_hint='Its engine failed too often in a row ({code}). It is left alone and tried again by itself.',
        half_open='On trial',
        half_open_hint='After many failures one job shows whether the engine works again.',
        failing='Does not answer: {names}',
        never_spoke='no word yet',
        spoke='last word {time} ago',
        up='up {time}',
        actions='Actions for {name}',
        pause='Pause',
        resume='Resume',
        drain='Drain: finish what runs',
        retire='Let it go…',
        retire_title='Let {name} go?',
        retire_text=(
            'It takes nothing new, finishes its jobs within five minutes and ends. What is left goes to other '
            'workers. It comes back when it is started again.'
        ),
        retire_do='Let it go',
        cancel='Cancel',
        close='Close',
        load='Load',
        keep='Load and keep in memory',
        unload='Unload',
        update='Pull again to update',
        remove='Remove…',
        remove_title='Remove {name}?',
        remove_text=(
            'The model is deleted from the disk of {place}. Jobs that ask for it then wait until some machine has'
            ' it again.'
        ),
        remove_do='Remove',
        pull='Pull a model',
        pull_here='Pull a model to {place}',
        pull_name='Name in the library',
        pull_hint=(
            'As at ollama.com/library, with a tag where you want a certain size: qwen3:8b, gemma3:4b, nomic-embed-text.'
        ),
        pull_demo='No Ollama is here: the demo plays the download, and answers stay canned.',
        pull_to='To',
        pull_do='Pull',
        no_engine='No engine is reachable, so nothing can be pulled. Start Ollama on one of the machines.',
        loaded='in memory',
        loaded_size='in memory, {size}',
        on_gpu='{share} on the GPU',
        until='leaves in {time}',
        for_ever='stays',
        mute='does not answer',
        embeds='embeddings',
        no_model_yet='No model yet',
        pulling='Pulling {name}',
        loading='Loading {name}',
        unloading='Unloading {name}',
        removing='Removing {name}',
        changing='Changing {name}',
        asked='Waits for the worker',
        preparing='Looking it up',
        checking='Checking what came',
        of='{done} of {total}',
        rate='{size}/s',
        left='about {time} left',
        stop_pull='Stop the pull of {name}',
        stop='Stop',
        dismiss='Close this note',
        again='Try again',
        done_pull='{name} is there and can be used now.',
        done_load='{name} is in memory.',
        done_unload='{name} has left memory.',
        done_remove='{name} is removed.',
        done_other='Done: {name}',
        stopped='{name}: stopped. What has come stays; the next pull goes on from there.',
        failed='{name}: {why}',
        why_disk_full=(
            'the disk of that machine is full. Remove a model or make room, then try again; it goes on where it was.'
        ),
        why_unknown_model='the library has no model of this name. Look the name up at ollama.com/library.',
        why_offline=(
            'that machine does not reach the library. Check its network, then try again; it goes on where it was.'
        ),
        why_engine_old='this model needs a newer Ollama. Update it on that machine, then try again.',
        why_unreachable='Ollama cannot be reached on that machine. Start it there, then try again.',
        why_connection_lost='the connection to Ollama was lost. Try again; a pull goes on where it was.',
        why_model_not_found='this model is not there any more.',
        why_worker_lost='its worker left before it was done. Try again when it is back.',
        why_timeout='Ollama did not answer in time. Look at its log on that machine.',
        why_refused='the library does not let that machine have this model.',
        gone='Gone',
        gone_lost='was lost',
        gone_drained='was shut down',
        gone_removed='was removed from the desk',
        gone_since='since {time}',
        join='Add a machine',
        join_name='Name of the machine',
        join_make='Make the command',
        join_run=(
            'Run this on that machine, in a folder with Corral in it. It holds a key that is shown only now: '
            'whoever has it can take jobs.'
        ),
        join_known='Machines that may join. Remove one, and its workers stop at once; their jobs go to others.',
        join_forget='Remove',
        join_sure='Really remove?',
        join_here='One worker more on this machine:',
        join_off=(
            'Workers on other machines cannot join yet, because Corral only listens here. Start it with an '
            'address that they reach, for example:'
        ),
        join_wait='The worker appears here as soon as it has connected.',
        join_address=(
            'It reaches this desk at {place}. Open that port in the firewall for the machines of your network, '
            'and only for them.'
        ),
        copy='Copy',
        copied='Copied',
        by='{name}',
        rate_tokens='{n} tokens/s',
        chat='Chat message',
        generate='Text completion',
        embed='Embedding',
        raw='Other request',
        stopping='Stopping…',
        reading='reading',
        s='{n} s',
        m='{m} min {s} s',
        h='{h} h {m} min',
        d='{d} d {h} h',
    )
