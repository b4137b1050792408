package dev.edgegen.demo.bench

import androidx.lifecycle.SavedStateHandle
import androidx.lifecycle.ViewModel
import androidx.lifecycle.viewModelScope
import dev.edgegen.core.bench.BenchPlan
import dev.edgegen.core.bench.BenchRunner
import dev.edgegen.core.bench.BenchUpdate
import dev.edgegen.core.bench.DeviceProbe
import dev.edgegen.core.bench.PRESETS
import dev.edgegen.core.bench.recordLines
import dev.edgegen.core.catalogue.CatalogueEntry
import dev.edgegen.core.catalogue.ModelCatalogue
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.core.paths.PathPolicy
import dev.edgegen.demo.device.MemoryRequests
import java.io.IOException
import java.util.UUID
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Runs the benchmark of `:core` on a bundle; what was chosen outlives the process. */
class BenchViewModel(
    private val catalogue: ModelCatalogue,
    private val paths: PathPolicy,
    private val engines: MeasuringEngineFactory,
    private val probe: DeviceProbe,
    private val memory: MemoryRequests,
    private val appVersion: String,
    private val saved: SavedStateHandle,
) : ViewModel() {
    private val shown = MutableStateFlow(
        BenchUiState(
            chosen = saved[CHOSEN],
            preset = saved.get<String>(PRESET)?.takeIf(::isPreset) ?: PRESETS.first().first,
            delegate = if (saved.get<Boolean>(ON_GPU) == true) Delegate.GPU else Delegate.CPU,
            repeats = saved[REPEATS] ?: BenchUiState.REPEATS.first(),
        ),
    )
    private var running: Job? = null

    val state: StateFlow<BenchUiState> = shown.asStateFlow()

    /** Looks for bundles anew. */
    fun refresh() {
        viewModelScope.launch {
            val found = withContext(Dispatchers.IO) { catalogue.scan() }.filter { it.info != null }
            shown.update {
                val chosen = it.chosen?.takeIf { id -> found.any { each -> each.id == id } }
                it.copy(bundles = found, chosen = chosen ?: found.firstOrNull()?.id)
            }
        }
    }

    fun choose(id: String) {
        saved[CHOSEN] = id
        shown.update { it.copy(chosen = id) }
    }

    fun choosePreset(name: String) {
        saved[PRESET] = name
        shown.update { it.copy(preset = name) }
    }

    fun chooseDelegate(delegate: Delegate) {
        saved[ON_GPU] = delegate == Delegate.GPU
        shown.update { it.copy(delegate = delegate) }
    }

    fun chooseRepeats(repeats: Int) {
        saved[REPEATS] = repeats
        shown.update { it.copy(repeats = repeats) }
    }

    fun start() {
        val now = shown.value
        val entry = now.bundles.firstOrNull { it.id == now.chosen } ?: return
        if (running?.isActive == true) return
        // A chat's model in memory would be measured, too.
        memory.ask()
        shown.update { it.copy(progress = BenchProgress.Hashing, records = emptyList()) }
        running = viewModelScope.launch { measure(entry, now) }
    }

    fun stop() {
        running?.cancel()
    }

    /** Returns the runs as `records.jsonl` has them. */
    fun resultText(): String = recordLines(shown.value.records)

    private suspend fun measure(entry: CatalogueEntry, asked: BenchUiState) {
        try {
            val plan = withContext(Dispatchers.IO) { planOf(entry, asked) }
            BenchRunner(engines, probe, UUID.randomUUID().toString(), appVersion)
                .run(plan)
                .collect(::show)
        } catch (error: IOException) {
            val reason = error.message ?: entry.name
            shown.update { it.copy(progress = BenchProgress.Failed(reason)) }
        } catch (error: CancellationException) {
            shown.update { it.copy(progress = BenchProgress.Idle) }
            throw error
        }
    }

    private suspend fun planOf(entry: CatalogueEntry, asked: BenchUiState): BenchPlan {
        val cache = paths.cacheFolder(entry.file)
        return BenchPlan(
            config = EngineConfig(
                bundle = entry.file,
                delegate = asked.delegate,
                cacheFolder = cache.takeIf { it.isDirectory || it.mkdirs() },
            ),
            bundle = factsOf(entry),
            workload = PRESETS.first { it.first == asked.preset }.second,
            repeats = asked.repeats,
        )
    }

    /** Another version of the app may have kept another name. */
    private fun isPreset(name: String): Boolean = PRESETS.any { it.first == name }

    private fun show(update: BenchUpdate) {
        shown.update {
            when (update) {
                is BenchUpdate.Running -> it.copy(
                    progress = BenchProgress.Running(update.number, update.total, update.phase),
                )
                is BenchUpdate.Step -> when (val now = it.progress) {
                    is BenchProgress.Running -> it.copy(progress = now.copy(step = update.step))
                    else -> it
                }
                is BenchUpdate.Cooling -> it.copy(
                    progress = BenchProgress.Cooling(update.seconds),
                )
                is BenchUpdate.Row -> it.copy(records = it.records + update.record)
                is BenchUpdate.Finished -> it.copy(
                    progress = BenchProgress.Finished(update.summary),
                )
            }
        }
    }

    private companion object {
        const val CHOSEN = "chosen"
        const val PRESET = "preset"
        const val ON_GPU = "on_gpu"
        const val REPEATS = "repeats"
    }
}
