package dev.edgegen.demo.chat

import android.content.Context
import dev.edgegen.core.catalogue.ModelCatalogue
import dev.edgegen.core.chat.ConfigSource
import dev.edgegen.core.chat.ModelChoice
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.paths.PathPolicy
import dev.edgegen.demo.R
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** Finds the chosen bundle, and gives the engine all of its KV cache and a folder of its own. */
class CatalogueConfigs(
    private val context: Context,
    private val catalogue: ModelCatalogue,
    private val paths: PathPolicy,
) : ConfigSource {
    override suspend fun configOf(choice: ModelChoice): EngineConfig =
        withContext(Dispatchers.IO) {
            val entry = catalogue.find(choice.id)
                ?: catalogue.scan().firstOrNull { it.id == choice.id }
            if (entry == null || !entry.file.canRead()) {
                throw EngineException(
                    FailureKind.MISSING,
                    context.getString(R.string.error_bundle_gone),
                    context.getString(R.string.error_bundle_gone_hint),
                )
            }
            val cache = paths.cacheFolder(entry.file)
            EngineConfig(
                bundle = entry.file,
                delegate = choice.delegate,
                maxTokens = entry.info?.kvCacheLen,
                cacheFolder = cache.takeIf { it.isDirectory || it.mkdirs() },
            )
        }
}
