package dev.edgegen.demo

import androidx.lifecycle.ViewModelProvider
import androidx.lifecycle.ViewModelProvider.AndroidViewModelFactory.Companion.APPLICATION_KEY
import androidx.lifecycle.createSavedStateHandle
import androidx.lifecycle.viewmodel.CreationExtras
import androidx.lifecycle.viewmodel.initializer
import androidx.lifecycle.viewmodel.viewModelFactory
import dev.edgegen.demo.bench.BenchViewModel
import dev.edgegen.demo.bench.HeadlessViewModel
import dev.edgegen.demo.chat.CatalogueConfigs
import dev.edgegen.demo.chat.ChatViewModel
import dev.edgegen.demo.models.ModelsViewModel

/** Makes each ViewModel from the container: what a screen needs is in its constructor. */
val viewModelFactories: ViewModelProvider.Factory = viewModelFactory {
    initializer {
        val container = container()
        ModelsViewModel(container.catalogue, container.importer, container.probe)
    }
    initializer {
        val container = container()
        ChatViewModel(
            engines = container.engines,
            configs = CatalogueConfigs(application(), container.catalogue, container.paths),
            store = container.chatStore,
            preference = container.enginePreference,
            probe = container.probe,
            memory = container.memory,
        )
    }
    initializer {
        val container = container()
        BenchViewModel(
            catalogue = container.catalogue,
            paths = container.paths,
            engines = container.engines.measuring,
            probe = container.probe,
            memory = container.memory,
            appVersion = container.versionName,
            saved = createSavedStateHandle(),
        )
    }
    initializer {
        val container = container()
        HeadlessViewModel(
            folders = container.folders,
            engines = container.engines.measuring,
            probe = container.probe,
        )
    }
}

private fun CreationExtras.application(): DemoApplication =
    checkNotNull(get(APPLICATION_KEY)) as DemoApplication

private fun CreationExtras.container(): AppContainer = application().container
