package androidx.activity

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import androidx.lifecycle.HasDefaultViewModelProviderFactory
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.ViewModel
import androidx.lifecycle.ViewModelProvider
import androidx.lifecycle.ViewModelStoreOwner
import androidx.lifecycle.viewmodel.CreationExtras
import kotlin.reflect.KClass

open class ComponentActivity :
    Activity(),
    LifecycleOwner,
    ViewModelStoreOwner,
    HasDefaultViewModelProviderFactory {
    override fun onCreate(savedInstanceState: Bundle?): Unit = TODO()

    override fun onNewIntent(intent: Intent): Unit = TODO()
}

fun ComponentActivity.enableEdgeToEdge(
    statusBarStyle: SystemBarStyle = TODO(),
    navigationBarStyle: SystemBarStyle = TODO(),
): Unit = TODO()

class SystemBarStyle private constructor()

inline fun <reified VM : ViewModel> ComponentActivity.viewModels(
    noinline extrasProducer: (() -> CreationExtras)? = null,
    noinline factoryProducer: (() -> ViewModelProvider.Factory)? = null,
): Lazy<VM> = lazy(LazyThreadSafetyMode.NONE) { made(VM::class) }

@PublishedApi
internal fun <VM : ViewModel> made(of: KClass<VM>): VM = TODO("$of")
