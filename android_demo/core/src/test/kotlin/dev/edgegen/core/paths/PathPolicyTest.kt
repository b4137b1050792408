package dev.edgegen.core.paths

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import org.junit.jupiter.api.io.TempDir

class PathPolicyTest {
    @TempDir lateinit var data: File

    private val folders
        get() = AppFolders(
            data,
            data.resolve("files"),
            data.resolve("cache"),
            data.resolve("external"),
        )
    private val policy get() = PathPolicy(folders, listOf(File("/pushed")))

    @Test
    fun `bundles are looked for where they can come from`() {
        data.resolve("files/bundles/0123").mkdirs()
        assertEquals(
            listOf(
                BundleSource.IMPORTED to data.resolve("files/models"),
                BundleSource.BENCH to data.resolve("files/bundles/0123"),
                BundleSource.PUSHED to data.resolve("external/models"),
                BundleSource.PUSHED to File("/pushed"),
            ),
            policy.bundleFolders(),
        )
        val unmounted = PathPolicy(folders.copy(externalFiles = null))
        assertEquals(PathPolicy.PUSH_FOLDERS, unmounted.bundleFolders().drop(2).map { it.second })
    }

    @Test
    fun `a name of a document becomes the name of a file`() {
        val names = mapOf(
            "gemma.task" to "gemma.task",
            "GEMMA.LITERTLM" to "GEMMA.litertlm",
            "../../etc/passwd" to "passwd.task",
            "..\\evil.task" to "evil.task",
            "mit leer zeichen.task" to "mit_leer_zeichen.task",
            ".hidden" to "hidden.task",
            "" to "model.task",
            "модель.litertlm" to "модель.litertlm",
            "a\u0000b.task" to "a_b.task",
            "x".repeat(500) + ".task" to "x".repeat(120) + ".task",
        )
        for ((said, name) in names) assertEquals(name, PathPolicy.safeName(said))
    }

    @Test
    fun `an import takes no other's name`() {
        val first = policy.importTarget("a.task")
        assertEquals(data.resolve("files/models/a.task"), first)
        first.parentFile.mkdirs()
        first.createNewFile()
        assertEquals("a-2.task", policy.importTarget("a.task").name)
    }

    @Test
    fun `each bundle has a cache of its own`() {
        val bundle = data.resolve("a.task").apply { writeText("1") }
        val before = policy.cacheFolder(bundle)
        assertEquals(before, policy.cacheFolder(bundle))
        assertEquals(data.resolve("cache/prepared"), before.parentFile)
        bundle.writeText("22")
        assertNotEquals(before, policy.cacheFolder(bundle))
        assertNotEquals(before, policy.cacheFolder(data.resolve("b.task")))
    }

    @Test
    fun `a request's bundle lies in the app's data`() {
        assertEquals(
            data.canonicalFile.resolve("files/bundles/0/a.task"),
            policy.benchBundle("files/bundles/0/a.task"),
        )
        for (path in listOf("", "..", "../a", "/etc/passwd", "files/../../a", "a\u0000b", ".")) {
            assertNull(policy.benchBundle(path), path)
        }
    }
}
