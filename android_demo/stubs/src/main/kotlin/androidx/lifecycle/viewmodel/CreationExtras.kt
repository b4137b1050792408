package androidx.lifecycle.viewmodel

import androidx.lifecycle.ViewModel
import androidx.lifecycle.ViewModelProvider
import kotlin.reflect.KClass

abstract class CreationExtras internal constructor() {
    interface Key<T>

    abstract operator fun <T> get(key: Key<T>): T?
}

class InitializerViewModelFactoryBuilder {
    fun <T : ViewModel> addInitializer(
        clazz: KClass<T>,
        initializer: CreationExtras.() -> T,
    ): Unit = TODO()
}

inline fun viewModelFactory(
    builder: InitializerViewModelFactoryBuilder.() -> Unit,
): ViewModelProvider.Factory = built(InitializerViewModelFactoryBuilder().apply(builder))

@PublishedApi
internal fun built(from: InitializerViewModelFactoryBuilder): ViewModelProvider.Factory =
    TODO("$from")

inline fun <reified VM : ViewModel> InitializerViewModelFactoryBuilder.initializer(
    noinline initializer: CreationExtras.() -> VM,
): Unit = addInitializer(VM::class, initializer)
