package dev.edgegen.core.catalogue

import dev.edgegen.core.bundle.BundleFiles
import dev.edgegen.core.paths.AppFolders
import dev.edgegen.core.paths.BundleSource
import dev.edgegen.core.paths.PathPolicy
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertSame
import kotlin.test.assertTrue
import org.junit.jupiter.api.io.TempDir

class ModelCatalogueTest {
    @TempDir lateinit var data: File

    private val paths by lazy {
        PathPolicy(
            AppFolders(data, data.resolve("files"), data.resolve("cache"), null),
            listOf(data.resolve("pushed")),
        )
    }
    private val catalogue by lazy { ModelCatalogue(paths) }

    private fun put(
        path: String,
        content: ByteArray = BundleFiles.task(BundleFiles.members()),
    ): File =
        data.resolve(path).also {
            it.parentFile.mkdirs()
            it.writeBytes(content)
        }

    @Test
    fun `what is there is listed, good and bad`() {
        put("files/models/b.task")
        put("files/models/A.litertlm", ByteArray(10))
        put("files/models/readme.txt")
        put("files/bundles/01/c.task")
        put("pushed/d.task")
        val found = catalogue.scan()
        assertEquals(listOf("A.litertlm", "b.task", "c.task", "d.task"), found.map { it.name })
        assertEquals(
            listOf(
                BundleSource.IMPORTED,
                BundleSource.IMPORTED,
                BundleSource.BENCH,
                BundleSource.PUSHED,
            ),
            found.map { it.source },
        )
        assertContains(assertNotNull(found[0].problem), "no good bundle")
        assertNull(found[0].info)
        assertEquals(64, found[1].info?.kvCacheLen)
        assertEquals(found[1], catalogue.find(found[1].id))
    }

    @Test
    fun `what has not changed is not read again`() {
        val file = put("files/models/a.task")
        val before = catalogue.scan().single()
        assertSame(before, catalogue.scan().single())
        file.appendBytes(ByteArray(1))
        assertTrue(catalogue.scan().single() !== before)
    }

    @Test
    fun `what is the app's own can be removed`() {
        val own = put("files/models/a.task")
        val cache = paths.cacheFolder(own).apply { mkdirs() }
        val pushed = put("pushed/b.task")
        catalogue.scan()
        assertTrue(catalogue.delete(own.absolutePath))
        assertFalse(own.exists() || cache.exists())
        assertNull(catalogue.find(own.absolutePath))
        assertFalse(catalogue.delete(own.absolutePath))
        assertFalse(catalogue.delete(pushed.absolutePath))
        assertTrue(pushed.exists())
        val gone = put("files/models/c.task")
        catalogue.scan()
        gone.delete()
        assertFalse(catalogue.delete(gone.absolutePath))
    }
}
