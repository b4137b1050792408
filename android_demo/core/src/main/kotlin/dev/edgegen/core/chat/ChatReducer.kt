package dev.edgegen.core.chat

import dev.edgegen.core.engine.Prompt
import dev.edgegen.core.engine.Role
import dev.edgegen.core.engine.Turn
import dev.edgegen.core.meter.TokenRateMeter

private val SHORT_OF_MEMORY = UserError(
    "The phone is short of memory, so the model was closed before the answer was complete.",
    "Close other apps, then have it answered anew.",
)

/**
 * The chat's rules, without side effects.
 *
 * Each event first says what is wanted, then [settle] finds what can be done for it now. What must
 * wait for the engine waits in the state, so no order of events is special.
 *
 * @param event what happened.
 * @param nowNs the clock that [ChatEvent.Token] is stamped with.
 */
fun reduce(state: ChatState, event: ChatEvent, nowNs: Long): Step {
    val settled = settle(wanted(state, event), nowNs)
    val running = state.generation
    val told = settled.state.generation
    val stops = running != null && running.stopping == null && told?.id == running.id &&
        told.stopping != null
    if (!stops) return settled
    return settled.copy(effects = listOf(ChatEffect.Cancel(running.id)) + settled.effects)
}

private fun wanted(state: ChatState, event: ChatEvent): ChatState = when (event) {
    is ChatEvent.ChooseModel -> state.copy(
        model = event.choice,
        loadDue = event.choice != null,
        unloadDue = false,
        error = null,
    )
    is ChatEvent.EditDraft -> state.copy(draft = event.text)
    ChatEvent.Send -> send(state)
    ChatEvent.Stop -> state.copy(answerDue = false, generation = state.generation?.stopped())
    ChatEvent.Regenerate -> regenerate(state)
    is ChatEvent.ChangeSettings -> state.copy(settings = event.settings)
    ChatEvent.Clear -> state.copy(
        messages = emptyList(),
        answerDue = false,
        generation = state.generation?.stopped(),
        error = null,
    )
    ChatEvent.DismissError -> state.copy(error = null)
    ChatEvent.ScreenRecreated -> state
    ChatEvent.LowMemory -> lowMemory(state)
    is ChatEvent.Loaded -> loaded(state, event)
    is ChatEvent.LoadFailed -> loadFailed(state, event)
    is ChatEvent.Token -> token(state, event)
    is ChatEvent.Ended -> ended(state, event.generationId, error = null)
    is ChatEvent.Failed -> ended(state, event.generationId, event.error)
}

/** Finds what can be done now for what is wanted. One thing at a time: the engine has one. */
private fun settle(state: ChatState, nowNs: Long): Step {
    val open = state.engine
    val unwanted = open is EngineState.Ready && (state.unloadDue || open.choice != state.model)
    if (state.generation != null) {
        val ends = if (unwanted) state.generation.stopped(Stopping.BY_SYSTEM) else state.generation
        return Step(state.copy(generation = ends))
    }
    // Opening a bundle cannot be called off; what is wanted meanwhile waits for its end.
    if (open is EngineState.Loading) return Step(state)
    val effects = mutableListOf<ChatEffect>()
    var now = state
    if (unwanted) {
        effects += ChatEffect.Unload
        now = now.copy(engine = EngineState.Absent)
    }
    now = now.copy(unloadDue = false)
    if (now.model == null) now = now.copy(loadDue = false, answerDue = false)
    return when (now.engine) {
        is EngineState.Absent -> load(now, effects)
        is EngineState.Ready -> answer(now.copy(loadDue = false), effects, nowNs)
        is EngineState.Loading -> Step(now, effects)
    }
}

private fun load(state: ChatState, effects: List<ChatEffect>): Step {
    val choice = state.model
    if (choice == null || !(state.loadDue || state.answerDue)) return Step(state, effects)
    val id = state.nextId
    val next = state.copy(
        engine = EngineState.Loading(id, choice),
        loadDue = false,
        nextId = id + 1,
    )
    return Step(next, effects + ChatEffect.Load(id, choice))
}

private fun answer(state: ChatState, effects: List<ChatEffect>, nowNs: Long): Step {
    if (!state.answerDue) return Step(state, effects)
    val messageId = state.nextId
    val id = messageId + 1
    val next = state.copy(
        messages = state.messages + Message(messageId, Role.MODEL, "", MessageStatus.STREAMING),
        generation = Generation(id, messageId, TokenRateMeter(nowNs)),
        answerDue = false,
        nextId = id + 1,
    )
    val effect = ChatEffect.Generate(id, promptOf(state), state.settings.sampler)
    return Step(next, effects + effect)
}

/** Returns what the model is to answer: turns that alternate, as templates demand. */
internal fun promptOf(state: ChatState): Prompt {
    val turns = mutableListOf<Turn>()
    for (message in state.messages) {
        if (message.text.isEmpty()) continue
        val last = turns.lastOrNull()
        if (last?.role == message.role) {
            turns[turns.lastIndex] = last.copy(text = "${last.text}\n\n${message.text}")
        } else {
            turns += Turn(message.role, message.text)
        }
    }
    val message = turns.removeAt(turns.lastIndex)
    return Prompt(state.settings.systemPrompt, turns, message.text)
}

private fun send(state: ChatState): ChatState {
    if (!state.canSend) return state
    return state.copy(
        messages = state.messages + Message(state.nextId, Role.USER, state.draft.trim()),
        draft = "",
        answerDue = true,
        unloadDue = false,
        error = null,
        nextId = state.nextId + 1,
    )
}

private fun regenerate(state: ChatState): ChatState {
    if (!state.canRegenerate) return state
    val kept = state.messages.dropLastWhile { it.role != Role.USER }
    return state.copy(messages = kept, answerDue = true, unloadDue = false, error = null)
}

private fun lowMemory(state: ChatState): ChatState {
    val waits = state.answerDue || state.generation?.stopping == null && state.isGenerating
    return state.copy(
        answerDue = false,
        loadDue = false,
        unloadDue = true,
        error = if (waits) SHORT_OF_MEMORY else state.error,
    )
}

private fun loaded(state: ChatState, event: ChatEvent.Loaded): ChatState {
    val loading = state.engine as? EngineState.Loading
    if (loading?.loadId != event.loadId) return state
    return state.copy(engine = EngineState.Ready(loading.choice, event.info, event.fallback))
}

private fun loadFailed(state: ChatState, event: ChatEvent.LoadFailed): ChatState {
    val loading = state.engine as? EngineState.Loading
    if (loading?.loadId != event.loadId) return state
    // Another model was chosen meanwhile: that this one cannot be opened is of no interest.
    if (loading.choice != state.model) return state.copy(engine = EngineState.Absent)
    return state.copy(
        engine = EngineState.Absent,
        loadDue = false,
        answerDue = false,
        error = event.error,
    )
}

private fun token(state: ChatState, event: ChatEvent.Token): ChatState {
    val generation = state.generation
    if (generation?.id != event.generationId || generation.stopping != null) return state
    val meter = generation.meter.onTokens(event.tokens, event.atNs)
    val messages = state.messages.map {
        if (it.id == generation.messageId) {
            it.copy(text = it.text + event.text, rates = meter.rates)
        } else {
            it
        }
    }
    return state.copy(messages = messages, generation = generation.copy(meter = meter))
}

private fun ended(state: ChatState, generationId: Long, error: UserError?): ChatState {
    val generation = state.generation
    if (generation?.id != generationId) return state
    val status = when {
        generation.stopping == Stopping.BY_USER -> MessageStatus.STOPPED
        generation.stopping == Stopping.BY_SYSTEM || error != null -> MessageStatus.CUT_OFF
        else -> MessageStatus.COMPLETE
    }
    val messages = state.messages.mapNotNull {
        when {
            it.id != generation.messageId -> it
            // Nothing was said, so there is nothing to show.
            it.text.isEmpty() && status != MessageStatus.COMPLETE -> null
            else -> it.copy(status = status)
        }
    }
    // An engine that was told to end may call that a failure.
    val told = if (generation.stopping == null) error else null
    return state.copy(messages = messages, generation = null, error = told ?: state.error)
}

private fun Generation.stopped(by: Stopping = Stopping.BY_USER): Generation =
    if (stopping == null) copy(stopping = by) else this
