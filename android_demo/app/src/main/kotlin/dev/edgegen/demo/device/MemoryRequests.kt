package dev.edgegen.demo.device

import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.asSharedFlow

/** Requests to free what can be opened again: from the system, or from a benchmark. */
class MemoryRequests {
    private val asked = MutableSharedFlow<Unit>(
        extraBufferCapacity = 1,
        onBufferOverflow = BufferOverflow.DROP_OLDEST,
    )

    val requests: SharedFlow<Unit> = asked.asSharedFlow()

    /** Callable from any thread; returns at once. */
    fun ask() {
        asked.tryEmit(Unit)
    }
}
