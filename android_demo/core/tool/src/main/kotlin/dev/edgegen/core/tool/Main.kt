package dev.edgegen.core.tool

import dev.edgegen.core.bench.DeviceProbe
import dev.edgegen.core.bench.DeviceState
import dev.edgegen.core.bench.HeadlessRunner
import dev.edgegen.core.bench.PROGRESS_TAG
import dev.edgegen.core.bench.ThermalStatus
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.core.paths.AppFolders
import java.io.File
import java.time.LocalDateTime
import java.time.format.DateTimeFormatter
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

/**
 * The app's headless runner on a JVM, with a fake engine, and the bundle reader.
 *
 *     bench DATA_FOLDER REQUEST LOGCAT [TROUBLE] [THERMAL_STATUS]
 *     read FILE...
 *
 * `bench` does what the app does when it is started for a request; LOGCAT takes lines as Android's
 * log has them. `read` prints one JSON object for each file.
 */
fun main(arguments: Array<String>) {
    when (arguments.firstOrNull()) {
        "bench" -> bench(arguments.drop(1))
        "read" -> arguments.drop(1).forEach { println(bundleJson(File(it))) }
        else -> {
            System.err.println("error: say bench or read")
            exitProcess(2)
        }
    }
    // What an engine left running is ended with the process, as Android does it.
    exitProcess(0)
}

private fun bench(arguments: List<String>) {
    val data = File(arguments[0])
    val trouble = Trouble.valueOf(arguments.getOrElse(3) { "none" }.uppercase())
    val status = ThermalStatus.valueOf(arguments.getOrElse(4) { "none" }.uppercase())
    val pid = ProcessHandle.current().pid().toInt()
    val logcat = Logcat(File(arguments[2]), pid)
    val probe = object : DeviceProbe {
        override fun state() = DeviceState(thermalStatus = status, celsius = 31.5)
    }
    val folders = AppFolders(data, data.resolve("files"), data.resolve("cache"), null)
    val engines = MeasuringEngineFactory { FakeEngine(trouble) { logcat.write("fake", it) } }
    val runner =
        HeadlessRunner(folders, engines, probe, { logcat.write(PROGRESS_TAG, it) }, pid)
    val result = runBlocking { runner.run(arguments[1]) }
    if (result == null) logcat.write(PROGRESS_TAG, "'${arguments[1]}' is no request")
}

/** Writes lines as `logcat -v threadtime` shows them. */
private class Logcat(private val file: File, private val pid: Int) {
    fun write(tag: String, text: String) {
        val now = LocalDateTime.now().format(TIME)
        file.appendText("%s %5d %5d I %s: %s\n".format(now, pid, pid, tag, text))
    }

    private companion object {
        val TIME: DateTimeFormatter = DateTimeFormatter.ofPattern("MM-dd HH:mm:ss.SSS")
    }
}
