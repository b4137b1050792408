package dev.edgegen.demo.models

import dev.edgegen.core.catalogue.CatalogueEntry
import dev.edgegen.demo.bundles.ImportStep

/** The bundles, as far as they were looked for. */
sealed interface Bundles {
    data object Looking : Bundles

    data class Found(val entries: List<CatalogueEntry>) : Bundles
}

/**
 * What the models screen shows.
 *
 * @property importing the copy that runs.
 * @property failed the import that failed, until dismissed.
 * @property opened id of the bundle whose card shows all.
 * @property removing the bundle that the user is asked about.
 * @property availableMemoryBytes memory that programs may still get.
 */
data class ModelsUiState(
    val bundles: Bundles = Bundles.Looking,
    val importing: ImportStep.Copying? = null,
    val failed: ImportStep.Failed? = null,
    val opened: String? = null,
    val removing: CatalogueEntry? = null,
    val availableMemoryBytes: Long? = null,
)
