package dev.edgegen.demo.bench

import android.os.Process
import android.util.Log
import androidx.lifecycle.ViewModel
import androidx.lifecycle.viewModelScope
import dev.edgegen.core.bench.DeviceProbe
import dev.edgegen.core.bench.Failure
import dev.edgegen.core.bench.HeadlessRunner
import dev.edgegen.core.bench.PROGRESS_TAG
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.core.paths.AppFolders
import java.io.IOException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch

/** Where a run for `edgegen bench` is. */
sealed interface HeadlessState {
    data object Waiting : HeadlessState

    data object Running : HeadlessState

    /** @property failure `null` if the run has a result. */
    data class Done(val failure: Failure?) : HeadlessState

    /** There was no request of that name, or no place for its result. */
    data class NotRun(val reason: String) : HeadlessState
}

/** Carries out one request of `edgegen bench --runner app`; turning the screen does not end it. */
class HeadlessViewModel(
    folders: AppFolders,
    engines: MeasuringEngineFactory,
    probe: DeviceProbe,
) : ViewModel() {
    private val shown = MutableStateFlow<HeadlessState>(HeadlessState.Waiting)
    private val runner = HeadlessRunner(
        folders = folders,
        engines = engines,
        probe = probe,
        progress = { Log.i(PROGRESS_TAG, it) },
        pid = Process.myPid(),
    )

    val state: StateFlow<HeadlessState> = shown.asStateFlow()

    /** Runs a request. While one runs, others are left alone: they would measure each other. */
    fun run(id: String) {
        if (shown.value != HeadlessState.Waiting) return
        shown.value = HeadlessState.Running
        viewModelScope.launch(Dispatchers.IO) {
            shown.value = try {
                val result = runner.run(id)
                if (result == null) HeadlessState.NotRun(id) else HeadlessState.Done(result.failure)
            } catch (error: IOException) {
                Log.w(PROGRESS_TAG, "no result could be left", error)
                HeadlessState.NotRun(error.message.orEmpty())
            }
        }
    }
}
