package dev.edgegen.core.bench

import java.io.File
import java.io.IOException
import kotlin.concurrent.thread

/** What was seen of a process. */
class Samples(
    val memory: Memory,
    val series: String,
    val missing: Map<String, String>,
    val maxCelsius: Double?,
)

/**
 * Samples this process's memory and the battery's temperature beside a measurement.
 *
 * @param probe tells the temperature.
 * @param process `/proc/self`, or a stand-in.
 * @param wholeProcess whether the kernel's own mark of the most memory counts: only where the
 *   process does nothing but this measurement.
 */
class ProcessSampler(
    private val probe: DeviceProbe,
    private val intervalS: Double,
    private val process: File = File("/proc/self"),
    private val wholeProcess: Boolean = true,
) {
    private val rows = StringBuilder(HEADER)
    private val most = LinkedHashMap<String, Long>()
    private var maxCelsius: Double? = null
    private var startedNs = 0L
    private var slowNs = 0L

    @Volatile private var running = true
    private var worker: Thread? = null

    fun start() {
        startedNs = System.nanoTime()
        slowNs = startedNs - SLOW_NS
        worker = thread(isDaemon = true, name = "edgegen-samples") {
            while (running) {
                sample()
                try {
                    Thread.sleep((intervalS * 1e3).toLong().coerceAtLeast(1))
                } catch (_: InterruptedException) {
                    return@thread
                }
            }
        }
    }

    /** Ends sampling, with one last sample. */
    fun stop(): Samples {
        running = false
        worker?.interrupt()
        worker?.join()
        sample(last = true)
        rows.append("# ended\n")
        return Samples(memory(), rows.toString(), missing(), maxCelsius)
    }

    private fun sample(last: Boolean = false) {
        val now = System.nanoTime()
        val status = kibibytes("status")
        // What makes the kernel walk its tables, and what asks the system, is asked for seldom.
        val slow = last || now - slowNs >= SLOW_NS
        if (slow) slowNs = now
        val pss = if (slow) kibibytes("smaps_rollup")["Pss"] else null
        val celsius = if (slow) probe.state().celsius else null
        if (celsius != null) maxCelsius = maxOf(celsius, maxCelsius ?: celsius)
        val values = STATUS.map { status[it] } + pss
        for ((name, value) in (STATUS + "Pss").zip(values)) {
            if (value != null) most.merge(name, value, ::maxOf)
        }
        if (rows.length > MOST_CHARACTERS) return
        val seconds = (now - startedNs) / 1e9
        rows.append("%.3f".format(java.util.Locale.ROOT, seconds))
        for (value in values + celsius) rows.append(',').append(value ?: "")
        rows.append('\n')
    }

    /** Reads lines such as `VmRSS:    1234 kB`. */
    private fun kibibytes(name: String): Map<String, Long> = try {
        process.resolve(name).readText().lineSequence()
            .mapNotNull { LINE.matchEntire(it.trim()) }
            .associate { it.groupValues[1] to it.groupValues[2].toLong() }
    } catch (_: IOException) {
        emptyMap()
    }

    private fun memory(): Memory {
        fun bytes(name: String): Long? = most[name]?.let { it * KIB }
        return Memory(
            peakRssBytes = (if (wholeProcess) bytes("VmHWM") else null) ?: bytes("VmRSS"),
            peakRssAnonBytes = bytes("RssAnon"),
            peakRssFileBytes = bytes("RssFile"),
            peakPssBytes = bytes("Pss"),
        )
    }

    private fun missing(): Map<String, String> = buildMap {
        if (STATUS.none { it in most }) put("rss_bytes", "$process/status cannot be read")
        if ("Pss" !in most) put("pss_bytes", "$process/smaps_rollup cannot be read")
        if (maxCelsius == null) put("celsius", "the battery tells no temperature")
        put("gpu_bytes", "an app cannot see what the GPU's driver gave it")
    }

    private companion object {
        const val HEADER =
            "time_s,hwm_kib,rss_kib,rss_anon_kib,rss_file_kib,pss_kib,celsius.battery\n"
        val STATUS = listOf("VmHWM", "VmRSS", "RssAnon", "RssFile")
        val LINE = Regex("(\\w+):\\s+(\\d{1,15}) kB")
        const val SLOW_NS = 1_000_000_000L
        const val KIB = 1024
        const val MOST_CHARACTERS = 16 * 1024 * 1024
    }
}
