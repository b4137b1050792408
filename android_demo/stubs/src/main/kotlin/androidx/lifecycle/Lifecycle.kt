package androidx.lifecycle

import androidx.lifecycle.viewmodel.CreationExtras
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.StateFlow

abstract class Lifecycle {
    enum class State { DESTROYED, INITIALIZED, CREATED, STARTED, RESUMED }
}

interface LifecycleOwner

interface ViewModelStoreOwner

interface HasDefaultViewModelProviderFactory

abstract class ViewModel {
    protected open fun onCleared(): Unit = TODO()
}

val ViewModel.viewModelScope: CoroutineScope get() = TODO()

class SavedStateHandle {
    operator fun <T> get(key: String): T? = TODO()

    operator fun <T> set(key: String, value: T?): Unit = TODO()

    fun <T> getStateFlow(key: String, initialValue: T): StateFlow<T> = TODO()
}

fun CreationExtras.createSavedStateHandle(): SavedStateHandle = TODO()

class ViewModelProvider {
    interface Factory

    class AndroidViewModelFactory {
        companion object {
            val APPLICATION_KEY: CreationExtras.Key<android.app.Application> get() = TODO()
        }
    }
}
