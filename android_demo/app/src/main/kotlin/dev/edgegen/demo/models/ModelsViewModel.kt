package dev.edgegen.demo.models

import android.net.Uri
import androidx.lifecycle.ViewModel
import androidx.lifecycle.viewModelScope
import dev.edgegen.core.bench.DeviceProbe
import dev.edgegen.core.catalogue.CatalogueEntry
import dev.edgegen.core.catalogue.ModelCatalogue
import dev.edgegen.demo.bundles.BundleImporter
import dev.edgegen.demo.bundles.ImportStep
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

class ModelsViewModel(
    private val catalogue: ModelCatalogue,
    private val importer: BundleImporter,
    private val probe: DeviceProbe,
) : ViewModel() {
    private val shown = MutableStateFlow(ModelsUiState())
    private var importing: Job? = null

    val state: StateFlow<ModelsUiState> = shown.asStateFlow()

    /** Looks anew: `edgegen push` may have put a bundle there meanwhile. */
    fun refresh() {
        viewModelScope.launch { look() }
    }

    fun import(uri: Uri) {
        if (importing?.isActive == true) return
        importing = viewModelScope.launch {
            shown.update { it.copy(failed = null) }
            try {
                importer.import(uri).collect(::onImport)
            } finally {
                shown.update { it.copy(importing = null) }
            }
        }
    }

    fun cancelImport() {
        importing?.cancel()
    }

    fun dismissFailure() {
        shown.update { it.copy(failed = null) }
    }

    /** Shows all of a card, or no longer. */
    fun toggle(id: String) {
        shown.update { it.copy(opened = if (it.opened == id) null else id) }
    }

    fun askToRemove(entry: CatalogueEntry) {
        shown.update { it.copy(removing = entry) }
    }

    fun keep() {
        shown.update { it.copy(removing = null) }
    }

    fun remove() {
        val entry = shown.value.removing ?: return
        shown.update { it.copy(removing = null) }
        viewModelScope.launch {
            withContext(Dispatchers.IO) { catalogue.delete(entry.id) }
            look()
        }
    }

    private suspend fun onImport(step: ImportStep) {
        when (step) {
            is ImportStep.Copying -> shown.update { it.copy(importing = step) }
            is ImportStep.Failed -> shown.update { it.copy(failed = step) }
            is ImportStep.Done -> {
                look()
                shown.update { it.copy(opened = step.file.absolutePath) }
            }
        }
    }

    private suspend fun look() {
        val (entries, memory) = withContext(Dispatchers.IO) {
            catalogue.scan() to probe.state().availableMemoryBytes
        }
        shown.update {
            it.copy(bundles = Bundles.Found(entries), availableMemoryBytes = memory)
        }
    }
}
