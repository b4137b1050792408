package androidx.lifecycle.viewmodel.compose

import androidx.compose.runtime.Composable
import androidx.lifecycle.ViewModel
import androidx.lifecycle.ViewModelProvider
import androidx.lifecycle.ViewModelStoreOwner
import androidx.lifecycle.viewmodel.CreationExtras
import kotlin.reflect.KClass

@Composable
inline fun <reified VM : ViewModel> viewModel(
    viewModelStoreOwner: ViewModelStoreOwner = currentOwner(),
    key: String? = null,
    factory: ViewModelProvider.Factory? = null,
    extras: CreationExtras = defaultExtras(),
): VM = made(VM::class)

@PublishedApi
internal fun <VM : ViewModel> made(of: KClass<VM>): VM = TODO("$of")

@PublishedApi
internal fun currentOwner(): ViewModelStoreOwner = TODO()

@PublishedApi
internal fun defaultExtras(): CreationExtras = TODO()
