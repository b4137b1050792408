package dev.edgegen.demo

import android.content.Context
import dev.edgegen.core.catalogue.ModelCatalogue
import dev.edgegen.core.paths.AppFolders
import dev.edgegen.core.paths.PathPolicy
import dev.edgegen.demo.bundles.BundleImporter
import dev.edgegen.demo.chat.ChatStore
import dev.edgegen.demo.device.AndroidProbe
import dev.edgegen.demo.device.MemoryRequests
import dev.edgegen.demo.engine.AppEngines
import dev.edgegen.demo.settings.EnginePreference
import java.io.File

/** What lives as long as the process, made once. Screens get it through their ViewModels. */
class AppContainer(context: Context) {
    private val context: Context = context.applicationContext

    /** Asks whoever holds a model to free it. */
    val memory: MemoryRequests = MemoryRequests()

    val probe: AndroidProbe = AndroidProbe(this.context)

    val enginePreference: EnginePreference = EnginePreference(this.context)

    val engines: AppEngines = AppEngines(this.context, enginePreference)

    /** Looking for them makes them, so it waits until they are needed. */
    val folders: AppFolders by lazy {
        AppFolders(
            data = this.context.dataDir,
            files = this.context.filesDir,
            cache = this.context.cacheDir,
            externalFiles = this.context.getExternalFilesDir(null),
        )
    }

    val paths: PathPolicy by lazy { PathPolicy(folders) }

    val catalogue: ModelCatalogue by lazy { ModelCatalogue(paths) }

    val importer: BundleImporter by lazy { BundleImporter(this.context, paths) }

    val chatStore: ChatStore = ChatStore(File(this.context.filesDir, "chat.json"))

    val versionName: String
        get() = context.packageManager.getPackageInfo(context.packageName, 0).versionName.orEmpty()
}
