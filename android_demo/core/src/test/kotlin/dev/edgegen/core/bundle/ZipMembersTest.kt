package dev.edgegen.core.bundle

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import org.junit.jupiter.api.io.TempDir

class ZipMembersTest {
    @TempDir lateinit var folder: File

    private fun refusal(content: ByteArray): String = assertFailsWith<BundleException> {
        BundleReader.read(BundleFiles.write(folder, "a.task", content))
    }.message

    @Test
    fun `names that leave a folder are refused`() {
        for (name in listOf("../x", "/x", "a:b", "\\x", "a/../b")) {
            assertContains(
                refusal(BundleFiles.task(BundleFiles.members(name to ByteArray(1)))),
                "would leave",
            )
        }
    }

    @Test
    fun `a zip that lies is refused`() {
        val good = BundleFiles.task(BundleFiles.members())
        val entry = find(good, 0x02014b50)
        val local = 4
        fun spoiled(at: Int, vararg values: Int) =
            good.copyOf().also { values.forEachIndexed { i, value -> it[at + i] = value.toByte() } }
        assertContains(refusal(spoiled(entry + 10, 8)), "compressed")
        assertContains(refusal(spoiled(entry + 8, 1)), "encrypted")
        assertContains(refusal(spoiled(entry + 6, 99)), "newer")
        assertContains(refusal(spoiled(entry + 42, 99)), "no member at byte")
        assertContains(refusal(spoiled(local + 30, 'x'.code)), "do not say the same")
        assertContains(refusal(spoiled(entry, 0)), "no entry at byte")
        assertContains(refusal(spoiled(entry + 46, 0xC3)), "not UTF-8")
        assertContains(
            refusal(spoiled(good.size - 10, 0, 0, 0, 0x7f)),
            "its directory is not in it",
        )
        val padded = ByteArray(6 * 1024 * 1024) + spoiled(good.size - 10, 0, 0, 0x50, 0)
        assertContains(refusal(padded), "its directory has 5242880 bytes")
        assertContains(refusal(spoiled(entry + 20, 0, 0, 0x10, 0, 0, 0, 0x10, 0)), "cut off inside")
        val extra = spoiled(entry + 30, 0xff, 0)
        assertContains(refusal(extra), "is no good bundle")
        val many = BundleFiles.members(*Array(70) { "M$it" to ByteArray(0) })
        assertContains(refusal(BundleFiles.task(many)), "more than 64 members")
    }

    @Test
    fun `a zip with 64-bit numbers and a comment is read`() {
        val good = BundleFiles.task(BundleFiles.members())
        val end = good.size - 22
        val size = little32(good, end + 12)
        val offset = little32(good, end + 16)
        val end64 = little(56) {
            putInt(0x06064b50).putLong(44).putShort(45).putShort(45).putInt(0).putInt(0)
            putLong(3).putLong(3).putLong(size.toLong()).putLong(offset.toLong())
        }
        val locator = little(20) { putInt(0x07064b50).putInt(0).putLong(end.toLong()).putInt(1) }
        val large = good.copyOf(end) + end64 + locator + good.copyOfRange(end, good.size)
        assertEquals(3, BundleReader.read(BundleFiles.write(folder, "b.task", large)).members.size)
        val several = large.copyOf().also { it[end + 56 + 16] = 2 }
        assertContains(refusal(several), "several parts")
        val told = good.copyOf().also { it[end + 20] = 2 } + byteArrayOf(1, 1)
        assertNotNull(BundleReader.read(BundleFiles.write(folder, "c.task", told)))
        assertFailsWith<DamageException> {
            FileBytes(folder.resolve("c.task")).use { it.i64(told.size - 7L) }
        }
    }

    private fun find(data: ByteArray, magic: Int): Int =
        (0..data.size - 4).first { little32(data, it) == magic }

    private fun little32(data: ByteArray, at: Int): Int =
        (0..3).fold(0) { sum, i -> sum or ((data[at + i].toInt() and 0xFF) shl (8 * i)) }
}
